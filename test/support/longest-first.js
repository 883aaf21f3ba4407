/**
 * The order of the test files. Without times of an earlier run, as in CI, jest begins with the largest files; the longest
 * of ours are small ones, and at the end all processes would wait for one of them.
 */
import Sequencer from '@jest/test-sequencer';

/** Whoever waits for brokers and back-offs to pass comes first, and what only computes fills the gaps at the end. */
const FOLDERS = ['faults', 'stories', 'contract', 'broker', 'simulation', 'unit/cli', 'unit/isolate'];

const rankOf = ({ path }) => {
  const rank = FOLDERS.findIndex((folder) => path.includes(`/test/${folder}/`));
  return rank < 0 ? FOLDERS.length : rank;
};

export default class LongestFirst extends Sequencer {
  sort(tests) {
    return super.sort(tests).sort((one, other) => rankOf(one) - rankOf(other));
  }
}

/** How long something took, by the time that this process had: a bound that a busy machine cannot break. */

const EVERY_MS = 10;

/**
 * Ms until `work` settled, counted by a timer that counts once however late it comes. So a pause of the machine, in which
 * no timer of `work` fires either, adds next to nothing; where there is none it is the time that passed.
 */
export async function ownTime(work: Promise<unknown>): Promise<number> {
  let ticks = 0;
  const counting = setInterval(() => ticks++, EVERY_MS);
  try {
    await work;
  } finally {
    clearInterval(counting);
  }
  return ticks * EVERY_MS;
}

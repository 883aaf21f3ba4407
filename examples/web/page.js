// Shows what goes on in the queue, once a second. In the browser; nothing is built.
const board = document.querySelector('#board');
const [headline, tiles, note, log] = ['.headline', '.tiles', '.note', '.log'].map((it) =>
  board?.querySelector(it),
);

/** @type {Record<string, any> | undefined} */
let before;
/** How many were done when this page was opened. */
let doneAtFirst;
let lastDone;

if (board) {
  keepAddress();
  look();
}

// So that a reload shows this job instead of enqueueing another.
function keepAddress() {
  const { watch, name, failures } = board.dataset;
  history.replaceState(
    null,
    '',
    `/jobs/${encodeURIComponent(watch)}?${new URLSearchParams({ name, fail: failures })}`,
  );
}

async function look() {
  const state = await fetch('/state')
    .then((answer) => answer.json())
    .catch(() => ({ away: true, workers: 0 }));
  show(state);
  setTimeout(look, 1000);
}

function show(state) {
  if (state.workers > 0) {
    countDone(state);
    drawTiles(state);
    const unknown = { ...state, ready: 0, running: 0, delayed: {} };
    tellChanges(before?.workers > 0 ? before : unknown, state);
  }
  tellWorkers(state);
  const [text, kind] = sayWhere(state);
  headline.textContent = text;
  headline.className = `headline ${kind}`;
  before = state;
}

// Each worker counts for itself and from its own start: when one comes or goes, the sum says nothing.
function countDone({ done, workers }) {
  doneAtFirst ??= done;
  if (before && before.workers !== workers) doneAtFirst += done - lastDone;
  lastDone = done;
}

function sayWhere(state) {
  const { ready, running, delayed, dead, done, workers } = state;
  if (state.away)
    return ['This page’s own server does not answer. What is not done is safe on the broker.', 'bad'];
  if (workers === 0)
    return [
      `No worker answers at ${state.asked}. What is not done is safe on the broker; start a worker.`,
      'bad',
    ];
  if (running > 0) return [running === 1 ? 'Running…' : `${running} are running…`, ''];
  const waits = Object.keys(delayed).map((wait) => `delayed-${wait}`);
  // Delays are shared by all queues, so what waits need not be this visitor's.
  const since = done > doneAtFirst ? `${done - doneAtFirst} done since you came. ` : '';
  if (waits.length > 0) return [`${since}Waiting on the broker in ${waits.join(', ')}…`, ''];
  if (ready > 0) return ['Ready in the queue: a worker takes it soon.', ''];
  if (done > doneAtFirst) return ['Done. The success line is in the worker’s log.', 'good'];
  if (dead > 0)
    return ['Nothing is left to do, but the dead queue is not empty (warren dead list default).', 'bad'];
  return ['Nothing is left to do.', ''];
}

function drawTiles({ ready, running, delayed, dead, done }) {
  const waiting = Object.values(delayed).reduce((sum, count) => sum + count, 0);
  const rows = { ready, running, delayed: waiting, dead, done };
  tiles.replaceChildren(
    ...Object.entries(rows).map(([label, count]) => {
      const tile = document.createElement('li');
      const number = document.createElement('b');
      number.textContent = count;
      tile.append(number, label);
      tile.classList.toggle('lit', count > 0 && label !== 'done');
      return tile;
    }),
  );
}

// In the order in which a job goes through it, as far as two looks can tell.
function tellChanges(old, now) {
  const waits = [...new Set([...Object.keys(old.delayed), ...Object.keys(now.delayed)])];
  const more = Object.fromEntries(
    waits.map((wait) => [wait, (now.delayed[wait] ?? 0) - (old.delayed[wait] ?? 0)]),
  );
  for (const wait of waits) tell(-more[wait], `comes back from delayed-${wait}`);
  tell(now.ready - old.ready, 'ready in the queue');
  tell(now.running - old.running, 'running in a worker');
  for (const wait of waits) tell(more[wait], `failed, waits in delayed-${wait}`);
  tell(now.dead - old.dead, 'parked in the dead queue');
  if (now.workers === old.workers) tell(now.done - old.done, 'done: success');
}

function tellWorkers({ workers }) {
  const they = workers === 1 ? '1 worker answers' : `${workers} workers answer`;
  note.textContent =
    workers > 0 ? `${they}. The counts are of all visitors’ jobs; done since the workers started.` : '';
  if (before && before.workers !== workers) write(`${they}, ${before.workers} before`);
}

function tell(count, what) {
  if (count > 0) write(count === 1 ? what : `${count} × ${what}`);
}

function write(text) {
  const line = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString('en-GB');
  line.append(time, text);
  log.append(line);
}

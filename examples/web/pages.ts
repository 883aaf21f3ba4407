/** What a visitor sees. */
import { type Html, html } from './html.ts';

export interface Visitor {
  name: string;
  failures: number;
  id: string;
}

export function formPage(): Html {
  return page(
    'Who is it?',
    html`<p>A name becomes a job, <code>NameWorker</code>. A worker takes it, works for ten seconds and logs a success
        line. Until then the broker keeps it, whatever is killed.</p>
      <form action="/">
        <label>Name <input name="name" value="foo" size="14" maxlength="100" required autofocus /></label>
        <label>Fail first <select name="fail">
          <option value="0">never</option>
          <option value="1">once (delayed-3s)</option>
          <option value="2">twice (delayed-30s)</option>
        </select></label>
        <button>Enqueue</button>
      </form>`,
  );
}

export function jobPage({ name, failures, id }: Visitor, brokerPage?: string): Html {
  return page(
    html`Hello ${name}`,
    html`<p class="id">Enqueued: job <code>${id}</code>. The broker has confirmed it.</p>
      <p>${whatWillHappen(failures)}</p>
      <section id="board" data-watch="${id}" data-name="${name}" data-failures="${failures}">
        <p class="headline" aria-live="polite">Looking at the queue…</p>
        <ul class="tiles"></ul>
        <p class="note"></p>
        <ol class="log"></ol>
      </section>
      <p class="links"><a href="/">Another one</a> ${brokerLink(brokerPage)}</p>`,
  );
}

/** RabbitMQ's own page, which shows the queues as well. */
function brokerLink(address: string | undefined): Html {
  return address ? html`<a href="${address}/#/queues">The queues in RabbitMQ</a>` : html``;
}

function whatWillHappen(failures: number): Html {
  const end =
    'works for ten seconds and logs “success”. Kill the worker or the broker meanwhile, and start it again.';
  if (failures === 0) return html`A worker takes it, ${end}`;
  const times = failures === 1 ? 'once' : failures === 2 ? 'twice' : `${failures} times`;
  const waits = ['delayed-3s', 'delayed-30s', 'delayed-5m', 'delayed-50m'].slice(0, failures);
  const list = waits
    .map((queue) => html`<code>${queue}</code>`)
    .reduce((one, next) => html`${one}, then ${next}`);
  return html`It fails ${times} and waits on the broker in ${list}. Then a worker takes it, ${end}`;
}

export interface Trouble {
  title: string;
  /** What happened, and what to do next. */
  what: string;
  next: string;
  /** The typed error's code. */
  code?: string;
  /** Where the same thing is tried again, by itself after a while when `wait` (seconds) is given. */
  again: string;
  wait?: number;
}

export function troublePage({ title, what, next, code, again, wait }: Trouble): Html {
  return page(
    title,
    html`<p>${what}</p>
      <p><strong>${next}</strong></p>
      <p class="links"><a href="${again}">Try again</a>${code ? html` <code>${code}</code>` : ''}</p>`,
    wait ? html`<meta http-equiv="refresh" content="${wait}; url=${again}" />` : html``,
  );
}

function page(title: Html | string, body: Html, head: Html = html``): Html {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8" />
  <meta name="viewport" content="width=device-width, initial-scale=1" />
  <title>${title} · warren</title>
  <link rel="icon" href="data:," />
  <link rel="stylesheet" href="/page.css" />
  ${head}
</head>
<body>
  <main>
    <header>warren</header>
    <h1>${title}</h1>
    ${body}
  </main>
  <script type="module" src="/page.js"></script>
</body>
</html>
`;
}

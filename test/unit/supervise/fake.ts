/** Worker processes that are none: they end, answer and stay silent as the test wants. */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Answers, ToWorker } from '../../../src/supervise/messages.ts';

export class FakeProcess extends EventEmitter {
  readonly pid: number | undefined;
  readonly stderr = new PassThrough();
  connected = true;
  readonly sent: ToWorker[] = [];
  answers: Partial<Answers> = { ping: true, ready: [] };

  constructor(pid: number | undefined = Math.floor(Math.random() * 1e6) + 1) {
    super();
    this.pid = pid;
  }

  send(message: ToWorker): void {
    this.sent.push(message);
    if (message.warren !== 'ask') return;
    const answer = this.answers[message.question];
    if (answer !== undefined)
      queueMicrotask(() => this.emit('message', { warren: 'answer', nr: message.nr, answer }));
  }

  begin(): void {
    this.emit('message', { warren: 'begun' });
  }

  end(code: number | null, signal: NodeJS.Signals | null = null): void {
    this.connected = false;
    this.stderr.end();
    this.emit('exit', code, signal);
  }

  kill(signal: NodeJS.Signals): void {
    this.end(null, signal);
  }

  get asChild(): ChildProcess {
    return this as unknown as ChildProcess;
  }
}

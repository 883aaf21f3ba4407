/** The parent's end of a side's process. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Message, Reply, SideName } from './child.ts';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

export class Side {
  readonly name: SideName;
  readonly #process: ChildProcess;

  constructor(name: SideName, url: string, namespace: string) {
    this.name = name;
    this.#process = fork(CHILD, [name, url, namespace], {
      execArgv: ['--expose-gc'],
    });
  }

  /** @throws when the side fails, dies or takes longer than `timeout` ms */
  run(message: Message, timeout: number): Promise<Exclude<Reply, { error: string }>> {
    const child = this.#process;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => end(new Error(`${this.name} was not done after ${timeout / 1000} s`)),
        timeout,
      );
      const onReply = (reply: Reply) =>
        'error' in reply ? end(new Error(reply.error)) : end(undefined, reply);
      const onExit = () => end(new Error(`${this.name}'s process ended`));
      const end = (error?: Error, reply?: Exclude<Reply, { error: string }>) => {
        clearTimeout(timer);
        child.off('message', onReply).off('exit', onExit);
        if (reply) resolve(reply);
        else reject(error);
      };
      child.on('message', onReply).on('exit', onExit);
      child.send(message);
    });
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}

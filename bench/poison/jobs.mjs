/** The jobs of `npm run poison`. */
import { setTimeout as pause } from 'node:timers/promises';
import { Job } from 'warren';

class Short extends Job {
  static queue = 'poison';
  static retry = { attempts: 3, backoff: ['500ms', '1s'] };

  async perform({ ms = 0, poison = false } = {}) {
    if (poison) process.kill(process.pid, 'SIGKILL');
    if (ms > 0) await pause(ms);
  }
}

export class Inline extends Short {}

export class InProcess extends Short {
  static isolation = 'process';
}

export class InThread extends Short {
  static isolation = 'thread';
}

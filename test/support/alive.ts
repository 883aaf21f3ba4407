/** Whether a process still runs. One that has ended and whom nobody has asked for his exit code does not. */
import { readFileSync } from 'node:fs';

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // Behind the name, which may hold brackets and blanks, stands the state.
    return !/^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, ''));
  } catch (error) {
    // Without /proc there is the signal alone.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && isThere(pid);
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

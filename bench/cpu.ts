import { readFileSync } from 'node:fs';

/** CPU that processes have used, from Linux's /proc; elsewhere nothing is known. */
export type CpuReading = ReadonlyMap<string, number>;

/** `pidFiles` by name. Answers user and system ms so far, threads included. */
export function readCpu(pidFiles: ReadonlyMap<string, string>): CpuReading {
  const reading = new Map<string, number>();
  for (const [name, file] of pidFiles) {
    try {
      const pid = readFileSync(file, 'utf8').trim().split(/\s/, 1)[0] ?? '';
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // After the command, which may hold spaces and ends with a bracket: state is field 3, utime 14, stime 15.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = Number(fields[11]) + Number(fields[12]);
      reading.set(name, ticks * MS_PER_TICK);
    } catch {
      // Not this platform, or the process is gone.
    }
  }
  return reading;
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

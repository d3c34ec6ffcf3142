import { Host, LogLevel } from '@extism/as-pdk';

/**
 * Where `throw` and failed assertions end: the reason goes to the host's log, then the call traps. The build
 * puts it in the place of the default, which would import a host function that there is not.
 */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const reason = message === null ? 'aborted' : message;
  const place = file === null ? '' : ' (' + file + ':' + line.toString() + ':' + column.toString() + ')';
  Host.log(LogLevel.Error, reason + place);
  unreachable();
}

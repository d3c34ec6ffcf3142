/** A function that cannot be loaded: the program does not start. Names the file, the key where there is one, and the reason. */
export class FunctionSetupError extends Error {
  readonly code = 'FUNCTION_SETUP';
  readonly file: string;
  readonly key: string;
  constructor(file: string, key: string, reason: string) {
    super(`${file}: ${key === '' ? '' : `${key}: `}${reason}`);
    this.name = 'FunctionSetupError';
    this.file = file;
    this.key = key;
  }
}

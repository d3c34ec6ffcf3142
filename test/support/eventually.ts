/** Real time, for tests of real sockets and files: waits for a condition, never for a duration. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  options: { readonly withinMs: number; readonly what: string },
): Promise<void> {
  const deadline = performance.now() + options.withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${options.withinMs} ms: ${options.what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

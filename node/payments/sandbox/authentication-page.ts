import type { Intent } from './intent.ts';
import { authenticationPath, clientSecretOf } from './wire.ts';

/** The page where the customer's bank asks whether it is really them: two buttons. */
export function authenticationPage(intent: Intent | undefined): string {
  if (intent === undefined) return page('<p>There is no such payment.</p>');
  const sum = `${(intent.amount / 100).toFixed(2)} ${escaped(intent.currency.toUpperCase())}`;
  if (intent.status !== 'requires_action') {
    return page(`<p>The payment of ${sum} waits for nobody: it is <b>${escaped(intent.status)}</b>.</p>`);
  }
  return page(`<p>Do you want to pay <b>${sum}</b>?</p>
<form method="post" action="${escaped(authenticationPath(intent.id))}">
<button name="outcome" value="succeeded">Yes, it is me</button>
<button name="outcome" value="failed">No</button>
</form>`);
}

/**
 * Where the browser goes from there: back to the shop, which is told what happened as Stripe tells it. Without an
 * address of the shop, the page itself says it.
 */
export function whereNext(intent: Intent): string {
  if (intent.returnUrl === undefined || !URL.canParse(intent.returnUrl)) return authenticationPath(intent.id);
  const url = new URL(intent.returnUrl);
  url.searchParams.set('payment_intent', intent.id);
  url.searchParams.set('payment_intent_client_secret', clientSecretOf(intent));
  const isPaid = intent.status === 'requires_capture' || intent.status === 'succeeded';
  url.searchParams.set('redirect_status', isPaid ? 'succeeded' : 'failed');
  return url.href;
}

function page(content: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sandbox: authenticate a payment</title>
<style>body { font: 1.2rem system-ui; margin: 15vh auto; max-width: 26rem } button { font: inherit; padding: .4em 1em }</style>
<h1>Your bank</h1>
${content}
<p><small>A sandbox: no money moves.</small></p>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}

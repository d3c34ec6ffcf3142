/**
 * Which of several registrations of one order is the one, as far as the claim tables of the voters tell.
 *
 * A registration that a majority holds the claim for is the only one that can have been answered `201`. Where the
 * answers leave it open, the one with most holders is proposed (among equals the one that the events known here
 * speak for, then the smallest name), and the ledger has the last word: its first `claim` for an order stands.
 */
/** Per voter that answered, the registration (`n1:42`) it holds the claim for; null when it holds none. */
export type ClaimSurvey = ReadonlyMap<string, string | null>;

export function proposeRegistration(survey: ClaimSurvey, spokenFor: string): string | undefined {
  const votes = new Map<string, number>();
  for (const registration of survey.values()) {
    if (registration !== null) votes.set(registration, (votes.get(registration) ?? 0) + 1);
  }
  const [best] = [...votes].toSorted(
    ([a, m], [b, n]) => n - m || Number(b === spokenFor) - Number(a === spokenFor) || (a < b ? -1 : 1),
  );
  return best?.[0];
}

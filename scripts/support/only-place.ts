/**
 * The text with the one place changed that has these words.
 * @param where for the error: what a change of the text has made wrong must not go unseen
 */
export function onlyPlaceChanged(text: string, [from, to]: readonly [string, string], where: string): string {
  const parts = text.split(from);
  if (parts.length !== 2) throw new Error(`${where}: these lines are expected once:\n${from}`);
  return parts.join(to);
}

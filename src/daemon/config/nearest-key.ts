/** The key that an administrator may have meant. Pure. */
import type { Rule } from './sections/config-rule.ts';

type Keys = Readonly<Record<string, Rule>>;

/**
 * The key, with its tables, that is most like the unknown one at `at`: a neighbour that differs by a slip of the keys,
 * or else the one key of this name in another table. Undefined if no key is.
 * @param siblings the keys of the table in which the unknown one stands
 */
export function nearestKey(at: readonly string[], siblings: Keys, schema: Keys): string | undefined {
  const name = at.at(-1) ?? '';
  const table = at.slice(0, -1);
  const close = nearestWord(name, Object.keys(siblings));
  if (close !== undefined) return [...table, close].join('.');
  const elsewhere = keysIn(schema).filter((path) => path.at(-1) === name || path.join('_') === name);
  return elsewhere.length === 1 ? elsewhere[0]?.join('.') : undefined;
}

/** The word that needs the fewest changes to become `word`, if they are few beside its length. */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  // one change in three letters; a longer word than any key is no slip
  const most = Math.max(1, Math.floor(word.length / 3));
  if (word.length > Math.max(0, ...known.map(({ length }) => length)) + most) return undefined;
  const plain = (text: string): string => text.toLowerCase().replaceAll('-', '_');
  return known
    .map((one) => ({ one, changes: changesBetween(plain(word), plain(one)) }))
    .filter(({ changes }) => changes <= most)
    .toSorted((a, b) => a.changes - b.changes)[0]?.one;
}

/** Every key that is no table, with its tables; names that an administrator chooses are left out. */
function keysIn(keys: Keys, table: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(keys).flatMap(([name, rule]) =>
    rule.is === 'table' ? keysIn(rule.keys, [...table, name]) : [[...table, name]],
  );
}

/** Letters to insert, delete, replace, or swap with their neighbour (the optimal string alignment distance). */
function changesBetween(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const now = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      now.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (now[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          isSwap ? (beforeLast[column - 2] ?? 0) + 1 : Infinity,
        ),
      );
    }
    beforeLast = last;
    last = now;
  }
  return last[b.length] ?? 0;
}

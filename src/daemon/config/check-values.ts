/** Checks a table of the configuration against its rules, and finds every error at once. Pure. */
import { configLimits } from '../bounds.ts';
import { nearestKey } from './nearest-key.ts';
import { schema } from './config-schema.ts';
import { isPath } from './sections/config-rule.ts';
import type { Rule } from './sections/config-rule.ts';
import { isTable } from './tables.ts';
import type { ConfigTable } from './tables.ts';

/** A key that can't be used, and why. */
export interface ValueProblem {
  readonly at: readonly string[];
  /** The key or table that is ignored with it. */
  readonly whole: readonly string[];
  readonly reason: string;
}

type Keys = Readonly<Record<string, Rule>>;
/** The second argument is called for a hint, which takes time, where the problem is one of the first. */
type Report = (problem: ValueProblem, hint?: () => string) => void;

/** Every key and value of a file that can't be used, in the order of the file's tables. */
export function valueProblems(table: ConfigTable): readonly ValueProblem[] {
  const found: ValueProblem[] = [];
  check(table, schema, [], (problem, hint) => {
    const more = found.length < configLimits.problems ? (hint?.() ?? '') : '';
    found.push({ ...problem, reason: `${problem.reason}${more}` });
  });
  return found;
}

function check(
  table: ConfigTable,
  rules: Keys,
  path: readonly string[],
  report: Report,
  whole?: readonly string[],
): void {
  for (const [key, value] of Object.entries(table)) {
    const at = [...path, key];
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    if (rule !== undefined) {
      checkValue(value, rule, at, report, whole ?? at);
      continue;
    }
    report({ at, whole: whole ?? at, reason: 'no such key' }, () => {
      const near = nearestKey(at, rules, schema);
      return near === undefined ? '' : `; did you mean ${near}?`;
    });
  }
}

function checkValue(
  value: unknown,
  rule: Rule,
  at: readonly string[],
  report: Report,
  whole: readonly string[],
): void {
  const refuse = (reason: string): void => report({ at, whole, reason });
  if (rule.is !== 'table' && rule.is !== 'named') {
    const reason = valueRefusal(value, rule);
    if (reason !== undefined) refuse(reason);
    return;
  }
  if (!isTable(value)) return refuse('must be a table');
  if (rule.is === 'table') return check(value, rule.keys, at, report);
  for (const [name, entry] of Object.entries(value)) {
    // a handler with some keys missing is another handler, so an entry with an error is ignored as a whole
    const entryAt = [...at, name];
    const refuseEntry = (reason: string): void => report({ at, whole: entryAt, reason });
    if (!rule.name.test(name)) {
      refuseEntry(`${name} is not a plain name`);
    } else if (!isTable(entry)) {
      refuseEntry(`${name} must be a table`);
    } else {
      check(entry, rule.each, entryAt, report, entryAt);
      const missingKey =
        rule.isWhole === true ? Object.keys(rule.each).find((key) => !Object.hasOwn(entry, key)) : undefined;
      if (missingKey !== undefined) refuseEntry(`${name} has no ${missingKey}`);
    }
  }
}

type ValueRule = Exclude<Rule, { readonly is: 'table' | 'named' }>;

/** Why the value can't be used; undefined when it can. */
export function valueRefusal(value: unknown, rule: ValueRule): string | undefined {
  if (rule.is === 'judged') return typeof value === 'string' ? rule.judge(value) : 'must be a string';
  const must = mustOf(value, rule);
  return must === undefined ? undefined : `must ${must}`;
}

/** What the value must be; undefined when it is valid. */
function mustOf(value: unknown, rule: Exclude<ValueRule, { readonly is: 'judged' }>): string | undefined {
  const unless = (isRight: boolean, must: string): string | undefined => (isRight ? undefined : must);
  const isText = typeof value === 'string';
  switch (rule.is) {
    case 'path':
      return unless(isText && isPath(value), 'be an absolute path');
    case 'optionalPath':
      return unless(isText && (value === '' || isPath(value)), 'be an absolute path or empty');
    case 'text':
      return unless(isText, 'be a string');
    case 'optionalForm':
      return unless(isText && (value === '' || rule.form.test(value)), rule.must);
    case 'secretUrl':
      return unless(isText && (value === '' || (rule.form.test(value) && URL.canParse(value))), rule.must);
    case 'oneOf':
      return unless(isText && rule.values.includes(value), `be one of ${rule.values.join(', ')}`);
    case 'paths':
      return unless(isTexts(value) && value.every(isPath), 'be a list of absolute paths');
    case 'hosts':
      return unless(
        isTexts(value) && value.every((one) => /^[a-z0-9.-]+$/u.test(one)),
        'be a list of lower-case host names',
      );
    case 'words':
      return unless(isTexts(value) && value.every((one) => rule.form.test(one)), rule.must);
    case 'texts':
      return unless(isTable(value) && isTexts(Object.values(value)), 'be a table of strings');
    case 'yesOrNo':
      return unless(typeof value === 'boolean', 'be true or false');
    case 'count':
    case 'milliseconds':
      return unless(
        Number.isInteger(value) && Number(value) >= 1 && Number(value) <= rule.most,
        `be a whole number from 1 to ${rule.most}`,
      );
    case 'port':
      return unless(
        typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535,
        'be a number from 0 to 65535',
      );
    case 'ratio':
      return unless(typeof value === 'number' && value >= 0 && value <= 1, 'be a number from 0 to 1');
    case 'limit':
      return unless(
        value === 'unlimited' || (Number.isSafeInteger(value) && Number(value) >= (rule.least ?? 0)),
        `be a whole number from ${rule.least ?? 0} on, or "unlimited"`,
      );
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

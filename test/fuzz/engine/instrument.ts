/**
 * Counters for our own sources: one at each function, branch, case, loop body, handler and short-circuited operand. The
 * text stays TypeScript, whose types Node strips afterwards. Equality tests go through a function, which can record
 * operands.
 */
import { parseSync } from 'oxc-parser';

/**
 * Names of the counters and of the comparison in the instrumented text: globals, so that circular imports find them
 * too.
 */
export const COUNTERS = '__fuzzCounters';
export const COMPARE = '__fuzzSame';

export interface Instrumented {
  readonly code: string;
  /** Lines of the counters that the text has, in their order. */
  readonly lines: readonly number[];
  /** Texts that the source compares with, or may. */
  readonly literals: readonly string[];
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

interface Edit {
  readonly at: number;
  /** What closes a node stands before what opens the next. */
  readonly rank: number;
  readonly until: number;
  readonly text: string;
}

const LONGEST_LITERAL = 80;

/** @param first number of the first counter; throws Error for a source that does not parse */
export function instrument(source: string, file: string, first: number): Instrumented {
  const { program, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`instrument ${file}: ${errors[0]?.message ?? ''}`);
  const walker = new Walker(source, first);
  const top: object = program;
  walker.visit(top as Node);
  return {
    code: walker.text(),
    lines: walker.places.map((at) => source.slice(0, at).split('\n').length),
    literals: [...walker.literals],
  };
}

class Walker {
  readonly literals = new Set<string>();
  /** Where each counter stands, in characters. */
  readonly places: number[] = [];
  readonly #source: string;
  readonly #first: number;
  readonly #edits: Edit[] = [];

  constructor(source: string, first: number) {
    this.#source = source;
    this.#first = first;
  }

  visit(node: Node): void {
    this.#change(node);
    for (const value of Object.values(node)) {
      if (Array.isArray(value)) {
        for (const item of value) if (isNode(item)) this.visit(item);
      } else if (isNode(value)) this.visit(value);
    }
  }

  /** The source with all edits. */
  text(): string {
    const closes = this.#edits.filter(({ rank }) => rank === 0).toReversed();
    const others = this.#edits.filter(({ rank }) => rank > 0);
    // the sort is stable: openings stay in the order of the walk, closings in the opposite one
    const sorted = [...closes, ...others].toSorted(
      (one, other) => one.at - other.at || one.rank - other.rank,
    );
    const parts: string[] = [];
    let from = 0;
    for (const { at, until, text } of sorted) {
      parts.push(this.#source.slice(from, at), text);
      from = until;
    }
    return parts.join('') + this.#source.slice(from);
  }

  #change(node: Node): void {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
      case 'CatchClause':
        return this.#body(node['body']);
      case 'IfStatement':
        if (!isNode(node['alternate']))
          return this.#statement(node['consequent'] as Node, ` else ${this.#count(node.end)};`);
        this.#statement(node['consequent'] as Node);
        return this.#statement(node['alternate']);
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
      case 'WhileStatement':
      case 'DoWhileStatement':
        return this.#statement(node['body'] as Node);
      case 'SwitchCase': {
        const [statement] = node['consequent'] as readonly Node[];
        return statement === undefined
          ? undefined
          : this.#insert(statement.start, 2, `${this.#count(statement.start)};`);
      }
      case 'ConditionalExpression':
        this.#expression(node['consequent'] as Node);
        return this.#expression(node['alternate'] as Node);
      case 'LogicalExpression':
        return this.#expression(node['right'] as Node);
      case 'AssignmentExpression':
        return /^(?:\?\?|\|\||&&)=$/u.test(String(node['operator']))
          ? this.#expression(node['right'] as Node)
          : undefined;
      case 'BinaryExpression':
        return this.#comparison(node);
      case 'Literal':
        return this.#literal(node['value']);
      default:
        return undefined;
    }
  }

  #body(body: unknown): void {
    if (!isNode(body)) return;
    if (body.type === 'BlockStatement' || body.type === 'FunctionBody')
      this.#insert(body.start + 1, 2, `${this.#count(body.start)};`);
    else this.#expression(body);
  }

  #statement(node: Node, behind = ''): void {
    this.#insert(node.start, 2, `{${this.#count(node.start)};`);
    this.#insert(node.end, 0, `}${behind}`);
  }

  #expression(node: Node): void {
    this.#insert(node.start, 2, `(${this.#count(node.start)},`);
    this.#insert(node.end, 0, ')');
  }

  #comparison(node: Node): void {
    const operator = String(node['operator']);
    if (operator !== '===' && operator !== '!==') return;
    const [left, right] = [node['left'] as Node, node['right'] as Node];
    this.#insert(node.start, 2, `${operator === '===' ? '' : '!'}${COMPARE}(`);
    this.#edits.push({ at: left.end, rank: 1, until: right.start, text: ',' });
    this.#insert(node.end, 0, ')');
  }

  #literal(value: unknown): void {
    if (
      typeof value === 'string' &&
      value.length > 0 &&
      value.length <= LONGEST_LITERAL &&
      !value.endsWith('.ts')
    )
      this.literals.add(value);
  }

  #insert(at: number, rank: number, text: string): void {
    this.#edits.push({ at, rank, until: at, text });
  }

  #count(at: number): string {
    const number = this.#first + this.places.length;
    this.places.push(at);
    return `${COUNTERS}[${number}]++`;
  }
}

function isNode(value: unknown): value is Node {
  return (
    typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
  );
}

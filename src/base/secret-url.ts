/**
 * A URL that may hold a password. JSON, templates, logs and node:util show it without; code that connects calls
 * `reveal()`. So no view has to know which field is secret (S92).
 */
export class SecretUrl {
  readonly #value: string;
  /** The URL with `***` for its user, password and query; `***` for text that is not a URL. */
  readonly shown: string;

  constructor(value: string) {
    this.#value = value;
    this.shown = shownForm(value);
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return this.shown;
  }

  toJSON(): string {
    return this.shown;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.shown;
  }
}

function shownForm(value: string): string {
  const url = URL.parse(value);
  if (url === null || url.host === '') return '***';
  const userinfo = url.username === '' && url.password === '' ? '' : '***@';
  const path = url.pathname === '/' ? '' : url.pathname;
  return `${url.protocol}//${userinfo}${url.host}${path}${url.search === '' ? '' : '?***'}`;
}

// What the authors of each component ask to be passed on with it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../checkout.ts';
import type { PackedEntry } from './entries.ts';
import { files } from './files-below.ts';

/** Files in which a package states its terms. */
const TERMS = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/iu;
/** The comment at the head of a module. */
const HEAD = /^(?:"use strict";\n)?((?:\/\/[^\n]*\n)+|\/\*[\s\S]*?\*\/)/u;
/** A component with the text that others only refer to: it names no holder. */
const APACHE = { id: 'Apache-2.0', text: 'node_modules/@grpc/grpc-js/LICENSE' };

interface Licensed {
  readonly name: string;
  /** SPDX id or expression. */
  readonly license: string;
  readonly directory: string;
}

/** Throws for a component that states none: it may not be passed on. */
export function termsOf(component: Licensed): readonly PackedEntry[] {
  const { name, directory } = component;
  // koffi's binaries are packages of their own, without its terms
  const place = name.startsWith('@koromix/') ? join(checkout, 'node_modules/koffi') : directory;
  const stated = readdirSync(place)
    .filter((file) => TERMS.test(file))
    .toSorted()
    .map((file) => ({ path: `licenses/${name}/${file}`, from: join(place, file), mode: 0o644 }));
  return stated.length > 0 ? stated : termsInModules(component);
}

/** Some authors state their terms at the head of each module only, which the bundle is without. */
function termsInModules({ name, license, directory }: Licensed): readonly PackedEntry[] {
  const heads = files(directory)
    .filter((file) => file.name.endsWith('.js'))
    .map((file) => HEAD.exec(readFileSync(join(directory, file.name), 'utf8'))?.[1] ?? '')
    .filter((head) => /copyright/iu.test(head));
  const notices = [...new Set(heads)].toSorted();
  if (notices.length === 0)
    throw new Error(`${directory}: neither a file of terms nor a module with a notice`);
  const at = (file: string): string => `licenses/${name}/${file}`;
  return [
    { path: at('NOTICE'), content: notices.join('\n'), mode: 0o644 },
    ...(license.includes(APACHE.id)
      ? [{ path: at('LICENSE'), from: join(checkout, APACHE.text), mode: 0o644 }]
      : []),
  ];
}

/** Passwords in the configuration (S92). */
import { stringify } from 'smol-toml';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { encodePlain } from '../../../../src/base/codec.ts';
import { SecretUrl } from '../../../../src/base/secret-url.ts';
import { applyFile } from '../../../../src/daemon/config/config.ts';
import { defaultConfig, schema } from '../../../../src/daemon/config/config-schema.ts';
import type { Rule } from '../../../../src/daemon/config/sections/config-rule.ts';
import { planReload } from '../../../../src/daemon/wiring/reload.ts';
import {
  emptyRegistriesConf,
  parseRegistriesConf,
} from '../../../../src/oci/images/registry/registries-conf.ts';
import { faultBy } from '../../../support/fault-of.ts';

const withPassword = (password: string) =>
  applyFile(
    defaultConfig,
    `[images]\nhttp_proxy = "http://u:${password}@proxy:3128"\nhttps_proxy = "http://t:${password}@proxy"\n`,
    't.toml',
  );

describe('the password of a proxy', () => {
  const config = withPassword('canary');

  it('S92 is in no view of the configuration, and the rest of the value is', () => {
    const views = [
      JSON.stringify(config),
      encodePlain(config),
      inspect(config, { depth: 9, showHidden: true }),
      stringify(JSON.parse(JSON.stringify(config)) as object),
    ];
    for (const view of views) {
      expect(view).not.toContain('canary');
      expect(view).toContain('http://***@proxy:3128');
    }
  });

  it('S92 reaches the connection', () => {
    const { http_proxy: proxy } = config.images;
    expect(proxy === '' ? '' : proxy.reveal()).toBe('http://u:canary@proxy:3128');
  });

  it('S92 is replaced by a later file, and taken back by an empty one', () => {
    const [later, none] = ['http://other:1', ''].map(
      (url) => applyFile(config, `images.http_proxy = "${url}"\n`, 't.toml').images.http_proxy,
    );
    expect([later === '' ? '' : later?.reveal(), none]).toEqual(['http://other:1', '']);
  });

  it('S92 is a change by itself, although no view shows it', () => {
    expect(planReload(config, withPassword('canary')).changed).toEqual([]);
    expect(planReload(config, withPassword('another')).changed).toEqual([
      'images.http_proxy',
      'images.https_proxy',
    ]);
    expect(planReload(config, withPassword('canary')).config.images.http_proxy).toBeInstanceOf(SecretUrl);
  });

  it.each(['http://u:canary/pw@proxy', 'u:canary@proxy', 'http://', 'ftp://u:canary@proxy'])(
    'S92 in an invalid proxy URL (%s) is not repeated by the refusal',
    (url) => {
      const { message } = faultBy(() => applyFile(defaultConfig, `images.http_proxy = "${url}"\n`, 't.toml'));
      expect(message).toContain('must be the URL of a proxy');
      expect(message).not.toContain('canary');
    },
  );
});

it('S92 every key that may hold a password is of the type that hides it', () => {
  /** Paths of files, names and addresses that are refused with credentials in them. */
  const harmless =
    /^(?:images\.(?:auth_files|namespaced_auth_dir|no_proxy)|tracing\.(?:endpoint|headers_file)|metrics\.address|nri\..*|introspection\.http_address|streaming\.address)$/u;
  const found: string[] = [];
  const visit = (rules: Readonly<Record<string, Rule>>, path: string): void => {
    for (const [key, rule] of Object.entries(rules)) {
      const at = `${path}${key}`;
      if (rule.is === 'table') visit(rule.keys, `${at}.`);
      else if (rule.is === 'named') visit(rule.each, `${at}.`);
      else if (
        /proxy|passw|secret|token|cred|auth|url|endpoint|address|header/u.test(key) &&
        rule.is !== 'secretUrl' &&
        !harmless.test(at)
      )
        found.push(at);
    }
  };
  visit(schema, '');
  expect(found).toEqual([]);
});

it.each(['http://c.example/otlp?token=canary', 'http://canary@c.example', 'http://c.example/#canary'])(
  'S92 a collector at %s is refused, and the refusal does not repeat it',
  (endpoint) => {
    expect(
      faultBy(() => applyFile(defaultConfig, `tracing.endpoint = "${endpoint}"\n`, 't.toml')).message,
    ).toMatch(/^(?!.*canary).*without credentials and query/u);
  },
);

it.each(['prefix', 'location'])(
  'S92 a %s of registries.conf with credentials in it is not repeated by its refusal',
  (key) => {
    for (const place of ['user:canary@mirror.example.com', 'https://user:canary@mirror.example.com']) {
      const text = `[[registry]]\nprefix = "a.example"\nlocation = "a.example"\n[[registry.mirror]]\nlocation = "${place}"\n`;
      const texts = [text, `[[registry]]\n${key} = "${place}"\n`];
      for (const one of texts) {
        let message = '';
        try {
          expect(parseRegistriesConf(one, 'registries.conf')).not.toEqual(emptyRegistriesConf);
        } catch (thrown) {
          message = String(thrown);
        }
        expect(message).not.toContain('canary');
      }
    }
  },
);

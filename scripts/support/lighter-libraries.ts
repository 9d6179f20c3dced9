// What a start of the bundle needs not do. Files of libraries are changed for that; an update of a library that changes
// these lines ends the build.
//
// - The protobuf library builds the fields of a message with its first use, not when the generated code is loaded: of
//   some 300 messages a start uses ten.
// - pino asks for its caller's file, for transports in threads, which we have none of: V8 then searches the whole
//   bundle for the ends of its lines.
// - koffi tries many places for its binary, and copies `node:fs`: 7 of its 8 ms, and in the worker again.
//
// And they are those of the start for as long as it runs (src/host/program/program-files.ts): koffi's binary and
// `yaml`, which most nodes never need and which is a file of its own, are read through the launcher's descriptors.
import type { Plugin } from 'esbuild';
import { readFileSync } from 'node:fs';
import { onlyPlaceChanged } from './only-place.ts';

const MODULES = '/node_modules/';

type Change = readonly [from: string, to: string];

/** The descriptor of a file, read by our own reader instead of the library's reflection. */
const fileChanges = (reader: string): readonly Change[] => [
  [
    'import { base64Decode } from "../wire/base64-encoding.js";',
    `import { readProtoFile } from ${JSON.stringify(reader)};\nimport { protoCamelCase } from "../reflect/names.js";`,
  ],
  ['import { FileDescriptorProtoSchema } from "../wkt/google/protobuf/descriptor_pb.js";\n', ''],
  ['import { restoreJsonNames } from "./restore-json-names.js";\n', ''],
  ['import { fromBinary } from "../from-binary.js";\n', ''],
  [
    'const root = fromBinary(FileDescriptorProtoSchema, base64Decode(b64));',
    'const root = readProtoFile(Buffer.from(b64, "base64"), (imports ?? []).map((f) => f.proto.name), protoCamelCase);',
  ],
  ['    root.messageType.forEach(restoreJsonNames);\n', ''],
  [
    '    root.dependency = (_a = imports === null || imports === void 0 ? void 0 : imports.map((f) => f.proto.name)) !== null && _a !== void 0 ? _a : [];\n',
    '',
  ],
];

/** Getters on a prototype, so that V8 keeps the shape of all descriptors. */
const LATE_MESSAGE = `
class LateMessage {
    constructor(proto, known, fill) { this.proto = proto; this.made = undefined; this.fill = fill; Object.assign(this, known); }
    get all() {
        if (this.made === undefined) {
            this.made = { fields: [], field: {}, oneofs: [], members: [] };
            this.fill(this);
        }
        return this.made;
    }
    get fields() { return this.all.fields; }
    get field() { return this.all.field; }
    get oneofs() { return this.all.oneofs; }
    get members() { return this.all.members; }
    toString() { return \`message \${this.typeName}\`; }
}
`;

const registryChanges: readonly Change[] = [
  [
    `    for (const mapEntry of mapEntriesStore.values()) {
        // to create a map field, we need access to the map entry's fields
        addFields(mapEntry, reg, mapEntries);
    }
`,
    '',
  ],
  ['        addFields(message, reg, mapEntries);\n        addExtensions', '        addExtensions'],
  [
    '    for (const child of message.nestedMessages) {\n        addFields(child, reg, mapEntries);\n    }\n',
    '',
  ],
  [
    '    const desc = {\n        kind: "message",\n        proto,\n',
    '    const desc = new LateMessage(proto, {\n        kind: "message",\n',
  ],
  [
    `        fields: [],
        field: {},
        oneofs: [],
        members: [],
        nestedEnums: [],
        nestedMessages: [],
        nestedExtensions: [],
        toString() {
            return \`message \${this.typeName}\`;
        },
    };
`,
    `        nestedEnums: [],
        nestedMessages: [],
        nestedExtensions: [],
    }, (message) => addFields(message, reg, mapEntries));
`,
  ],
  ['function addMessage(', `${LATE_MESSAGE}function addMessage(`],
];

const pinoChanges: readonly Change[] = [
  ['normalize(instance, caller(), ...args)', 'normalize(instance, [], ...args)'],
];

/**
 * koffi's binary; its own loader where that is another one, as for musl. glibc knows a library that it has loaded by
 * device and inode (_dl_map_object_from_fd), so that threads get the same one.
 */
const KOFFI = `
const pinned = () => {
  try {
    const loaded = { exports: {} };
    process.dlopen(loaded, '/proc/self/fd/' + troupeFiles.fds['koffi.node']);
    return loaded.exports;
  } catch {
    return undefined;
  }
};
const binary = () => {
  try {
    return require(\`@koromix/koffi-linux-\${process.arch}/linux_\${process.arch}/koffi.node\`);
  } catch {
    return undefined;
  }
};
module.exports = pinned() ?? binary() ?? require('koffi');
`;

/** The file is a function of what a module gets, and of \`require\`. */
const YAML = `
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const text = readFileSync('/proc/self/fd/' + troupeFiles.fds['yaml.js'], 'latin1');
new Script(text, { filename: troupeFiles.directory + '/yaml.js' }).runInThisContext()(exports, module, require);
`;

/** The plugin for the bundle; `reader` is the path of src/host/tuning/proto-file.ts. */
export function lighterLibraries(reader: string): Plugin {
  const changes = new Map([
    ['@bufbuild/protobuf/dist/esm/codegenv2/file.js', fileChanges(reader)],
    ['@bufbuild/protobuf/dist/esm/registry.js', registryChanges],
    ['pino/pino.js', pinoChanges],
  ]);
  return {
    name: 'lighter-libraries',
    setup: (build) => {
      build.onResolve({ filter: /^koffi$/ }, ({ namespace }) =>
        namespace === 'koffi' ? { external: true } : { path: 'koffi', namespace: 'koffi' },
      );
      build.onLoad({ filter: /^koffi$/, namespace: 'koffi' }, () => ({ contents: KOFFI, loader: 'js' }));
      build.onResolve({ filter: /^yaml$/ }, () => ({ path: 'yaml', namespace: 'yaml' }));
      build.onLoad({ filter: /^yaml$/, namespace: 'yaml' }, () => ({ contents: YAML, loader: 'js' }));
      build.onLoad({ filter: /\/(?:file|registry|pino)\.js$/ }, ({ path }) => {
        const all = changes.get(path.slice(path.lastIndexOf(MODULES) + MODULES.length));
        return all === undefined ? undefined : { contents: changed(path, all), loader: 'js' };
      });
    },
  };
}

function changed(path: string, changes: readonly Change[]): string {
  return changes.reduce((text, change) => onlyPlaceChanged(text, change, path), readFileSync(path, 'utf8'));
}

/**
 * A protobuf contract as a sorted list of plain lines, one per thing that a peer on the wire could notice:
 * two contracts are the same when their lists are. Comments, order and the file's name don't count.
 */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { create, fromBinary } from '@bufbuild/protobuf';
import type { DescriptorProto, EnumDescriptorProto, FieldDescriptorProto } from '@bufbuild/protobuf/wkt';
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldOptionsSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';

export const repository = resolve(import.meta.dirname, '..', '..', '..');

/** The lines of package `runtime.v1` as found below `directory` (compiled by buf, offline). */
export function contractLines(directory: string): string[] {
  const buf = join(repository, 'node_modules', '.bin', 'buf');
  const bytes = execFileSync(buf, ['build', directory, '--exclude-source-info', '-o', '-#format=binpb'], {
    maxBuffer: 16 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const files = fromBinary(FileDescriptorSetSchema, bytes).file.filter(
    (file) => file.package === 'runtime.v1',
  );
  return files
    .flatMap((file) => [
      `syntax ${file.syntax}`,
      ...file.messageType.flatMap((message) => messageLines(message, '.runtime.v1')),
      ...file.enumType.flatMap((item) => enumLines(item, '.runtime.v1')),
      ...file.service.flatMap((service) =>
        service.method.map(
          (rpc) =>
            `rpc ${service.name}/${rpc.name} ${stream(rpc.clientStreaming)}${rpc.inputType} -> ${stream(rpc.serverStreaming)}${rpc.outputType}`,
        ),
      ),
    ])
    .sort();
}

function stream(streaming: boolean): string {
  return streaming ? 'stream ' : '';
}

function messageLines(message: DescriptorProto, scope: string): string[] {
  const name = `${scope}.${message.name}`;
  const entry = message.options?.mapEntry === true ? ' map entry' : '';
  return [
    `message ${name}${entry}`,
    ...message.field.map((field) => `field ${name}.${fieldLine(field)}`),
    ...message.oneofDecl.map((oneof) => `oneof ${name}.${oneof.name}`),
    ...message.reservedName.map((reserved) => `reserved ${name} "${reserved}"`),
    ...message.reservedRange.map((range) => `reserved ${name} ${range.start}..${range.end}`),
    ...message.nestedType.flatMap((nested) => messageLines(nested, name)),
    ...message.enumType.flatMap((item) => enumLines(item, name)),
  ];
}

/** Maps are repeated fields of a map entry message in a descriptor, so they need no word of their own. */
function fieldLine(field: FieldDescriptorProto): string {
  const options = field.options ?? create(FieldOptionsSchema);
  return [
    field.name,
    `= ${field.number}`,
    Label[field.label],
    field.typeName === '' ? Type[field.type] : field.typeName,
    `json ${field.jsonName}`,
    ...(field.proto3Optional ? ['optional'] : []),
    ...(options.deprecated ? ['deprecated'] : []),
    ...(options.debugRedact ? ['redacted'] : []),
    ...(options.packed === false ? ['unpacked'] : []),
  ].join(' ');
}

function enumLines(item: EnumDescriptorProto, scope: string): string[] {
  const name = `${scope}.${item.name}`;
  return [`enum ${name}`, ...item.value.map((value) => `value ${name}.${value.name} = ${value.number}`)];
}

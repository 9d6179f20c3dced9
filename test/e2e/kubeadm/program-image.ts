// An image of one static program, as a file that troupe imports: what the control plane's pods run here.
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { tarOf } from '../../../scripts/support/tar.ts';

/** @param name of the image. @param program path of a static program, whose command is its file's name. */
export async function writeProgramImage(path: string, name: string, program: string): Promise<void> {
  const content = await readFile(program);
  const layer = layerOf(
    [
      { type: 'directory', path: 'usr', mode: 0o755 },
      { type: 'directory', path: 'usr/bin', mode: 0o755 },
      { type: 'file', path: `usr/bin/${basename(program)}`, mode: 0o755, content },
    ],
    'none',
  );
  const { config } = imageOf({ Env: ['PATH=/usr/bin'] }, [layer]);
  const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }];
  await writeFile(
    path,
    tarOf([
      { type: 'file', path: 'config.json', mode: 0o644, content: config.bytes },
      { type: 'file', path: 'layer.tar', mode: 0o644, content: layer.blob.bytes },
      { type: 'file', path: 'manifest.json', mode: 0o644, content: JSON.stringify(manifest) },
    ]),
  );
}

/** The commands for images. */
import { PLACE_JSON, ASKING, ENDS, ENDS_ASKING, IMAGE, FORMATS_TEXT } from './command-parts.ts';
import type { CommandDescription } from './description.ts';

export const IMAGE_COMMANDS = {
  images: {
    group: 'images',
    brief: 'images, and what keeps each',
    text: [
      'Shows images with size, time of the pull, and what keeps each: a pin, containers that run it or mount it, pulls ' +
        'under way.',
    ],
    options: {
      layers: { help: 'the same for each layer, and layers whose image is not present' },
    },
    globals: ASKING,
    needs: 'socket',
    examples: {
      'what takes the space, and what keeps it': 'troupe images',
      'which images share a layer': 'troupe images --layers',
    },
    exits: ENDS_ASKING,
    seeAlso: ['gc', 'pull'],
  },
  gc: {
    group: 'images',
    brief: 'remove images that nothing uses and that are not pinned',
    text: [
      'Removes images that nothing keeps, and their layers. The daemon itself deletes partial downloads.',
    ],
    options: { 'dry-run': { help: 'only list them' } },
    globals: ASKING,
    needs: 'socket',
    examples: { 'what would be removed': 'troupe gc --dry-run' },
    exits: ENDS_ASKING,
    seeAlso: ['images'],
  },
  pull: {
    group: 'images',
    brief: 'pull an image, with a bar for each layer',
    text: [
      'Pulls through the daemon: a bar for each layer on a terminal (bytes, rate, time left), a line for each elsewhere. ' +
        'Credentials are those of images.auth_files.',
    ],
    words: [IMAGE],
    globals: ASKING,
    needs: 'socket',
    examples: { 'one image': 'troupe pull docker.io/library/busybox:latest' },
    exits: { ...ENDS_ASKING, 3: 'no such image' },
    seeAlso: ['inspect', 'images'],
  },
  inspect: {
    group: 'images',
    brief: 'manifest and config of an image in its registry, as JSON; pulls nothing, needs no daemon',
    text: ["Asks the registry itself, with the node's registries, credentials and certificates."],
    words: [IMAGE],
    globals: PLACE_JSON,
    needs: 'config',
    examples: { 'the digest of a tag': 'troupe inspect docker.io/library/busybox:latest' },
    exits: { ...ENDS, 3: 'no such image' },
    seeAlso: ['pull'],
  },
  import: {
    group: 'images',
    brief: 'import images from a file or directory, verified like a pull',
    text: [
      'Imports each image under the full names that the source gives it. Digests, sizes and signatures are verified as ' +
        'for a pull.',
      FORMATS_TEXT,
    ],
    words: [{ name: 'SOURCE', means: 'source', completes: 'file' }],
    options: { name: { value: 'REF', help: 'the name of a single image' } },
    globals: ASKING,
    needs: 'config',
    examples: {
      'what docker save or podman save wrote': 'troupe import app.tar',
      'under another name': 'troupe import oci-archive:app.tar --name registry.example/app:v1',
    },
    exits: { ...ENDS_ASKING, 3: 'no such file or directory' },
    seeAlso: ['export'],
  },
  export: {
    group: 'images',
    brief: 'write a pulled image to a file or directory; needs no daemon',
    text: [
      'Writes an image from the store. Layers are packed again, so the copy has another id, which is printed. An ' +
        'existing target is never replaced.',
      FORMATS_TEXT,
    ],
    words: [
      { name: 'IMAGE', means: 'image' },
      { name: 'TARGET', means: 'target', completes: 'file' },
    ],
    globals: PLACE_JSON,
    needs: 'config',
    examples: { 'to an archive': 'troupe export registry.example/app:v1 app.tar' },
    exits: { ...ENDS, 3: 'no such image' },
    seeAlso: ['import'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;

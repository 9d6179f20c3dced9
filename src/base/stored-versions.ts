/**
 * The version of each kind of file that troupe stores and reads again, also in a later release. docs/versions.md says
 * what an older and a newer program does with each.
 *
 * A field that older programs may ignore needs no new version. When an older program would misread a file, raise its
 * version and that of the journal: an older program reads the journal first, and goes no further. The journal's may
 * stay only for what is in `madeAnew`.
 */
export const storedVersions = {
  /** `<root>/journal/journal.<n>`: the header, the frames and the types of records; the image catalogue with them. */
  journal: 1,
  /** `<state>/containers/<id>/troupe.json`. */
  containerRecord: 1,
  /** `<state>/handlers/<name>.json`. */
  handlerRecord: 1,
  /** `<state>/handlers/<name>.probe`. 5: 4 has faults of one probe as reasons. */
  probeRecord: 5,
  /** `<state>/sandboxes/<id>/shim.json`. */
  shimRecord: 1,
  /** `<state>/runtimes/<handler>/<id>.troupe`: runtimes whose state files have another form than runc's. */
  foreignState: 1,
  /** `<state>/helpers.json`. */
  helpers: 1,
  /** `troupeShortSeccomp` in a running container's config.json. */
  outerFilter: 1,
  /** `<root>/checkpoints/<id>/note.json`. */
  checkpointNote: 1,
  /** `<root>/cni/cache`: both files of an attachment. */
  attachment: 1,
  /** `layers/<digest>/layer.json` in the store. */
  layerRecord: 1,
  /** Processes of fuse-overlayfs that have mounted a container's root. */
  mountNote: 1,
  /** `<root>/signatures`. */
  keptSignatures: 1,
  /** `<root>/flight`. */
  flight: 1,
  /** `bundle.json` of `troupe support-bundle`. */
  supportBundle: 1,
} as const;

/** Files that a program of another version passes over and makes anew: nothing is lost but time. */
export const madeAnew: ReadonlySet<keyof typeof storedVersions> = new Set([
  'probeRecord',
  'keptSignatures',
  'flight',
  'supportBundle',
] as const);

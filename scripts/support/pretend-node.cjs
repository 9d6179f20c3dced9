// Loaded before npm by scripts/setup.js: npm then chooses packages for the Node that will run them, not for its own.
'use strict';
if (process.env.TROUPE_PINNED_NODE)
  Object.defineProperty(process, 'version', {
    value: `v${process.env.TROUPE_PINNED_NODE}`,
    enumerable: true,
  });

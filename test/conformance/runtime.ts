/**
 * What every RuntimePort does, runc with conmon as their twin. The cases stand beside this file, one file per part of
 * a container's life.
 */
import { endCases } from './runtime-ends.ts';
import { faultCases } from './runtime-faults.ts';
import { insideCases } from './runtime-inside.ts';
import { lifeCases } from './runtime-life.ts';
import { describeSuite } from './suite.ts';

/** The suite; a stage is a machine with a sandbox and without containers. */
export const runtimeConformance = describeSuite('runtime', lifeCases, endCases, insideCases, faultCases);

/** The real runc and conmon under the suite that the simulation's twin keeps to (test/sim/conformance.test.ts). */
import { runtimeConformance } from '../../conformance/runtime.ts';
import { missing } from '../runtime/support.ts';
import { realRuntimeStage } from './runtime-stage.ts';

const why = missing();
if (why === '') runtimeConformance('runc and conmon', realRuntimeStage);
else process.stdout.write(`skipped: runtime conformance of the real driver: ${why}\n`);

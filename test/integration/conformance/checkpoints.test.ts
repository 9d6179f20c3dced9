/**
 * The real driver of checkpoints under the suite that the simulation's twin keeps to (test/sim/conformance.test.ts).
 */
import { checkpointConformance } from '../../conformance/checkpoints.ts';
import { missing } from '../runtime/support.ts';
import { realCheckpointStage } from './checkpoint-stage.ts';

const why = missing();
if (why === '') checkpointConformance('runc, conmon and a played CRIU', realCheckpointStage);
else process.stdout.write(`skipped: conformance of checkpoints with the real driver: ${why}\n`);

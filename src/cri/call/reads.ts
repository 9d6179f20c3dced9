/** Which RPCs only read. */

const READ =
  /^(?:List|Stream|Version$|Status$|RuntimeConfig$|ImageFsInfo$|(?:PodSandbox|Container|Image)Stat(?:us|s)$)/u;

/** Whether this RPC, such as `ListContainers`, only reads. */
export function isRead(rpc: string): boolean {
  return READ.test(rpc);
}

/** Of its log line: a kubelet makes dozens of reads a second, and one probe in each pod. */
export function levelOfAnswer(rpc: string): 'trace' | 'debug' | 'info' {
  if (isRead(rpc)) return 'trace';
  return rpc === 'ExecSync' ? 'debug' : 'info';
}

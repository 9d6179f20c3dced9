/** Thrown by a row that does not apply; its message is the reason, which is printed. */
export class Skip extends Error {}

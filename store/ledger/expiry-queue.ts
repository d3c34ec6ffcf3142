/**
 * Holds by expiry: a binary min-heap whose members know their slot, so that a hold that is committed or
 * released leaves at once instead of lingering until it is due. The order is total (time, then order id):
 * what is swept first does not depend on how the heap came to be, only on what is in it.
 */
export interface Expiring {
  readonly orderId: string;
  readonly expiresAt: number;
  /** Owned by the queue: the place in the heap, −1 outside. */
  slot: number;
}

export class ExpiryQueue<Member extends Expiring> {
  readonly #heap: Member[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The member that expires first. */
  peek(): Member | undefined {
    return this.#heap[0];
  }

  add(member: Member): void {
    this.#heap.push(member);
    this.#rise(member, this.#heap.length - 1);
  }

  remove(member: Member): void {
    const slot = member.slot;
    if (this.#heap[slot] !== member) return;
    member.slot = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === member) return;
    // The hole is filled by the last member, which may belong above or below it.
    this.#rise(last, slot);
    this.#sink(last, last.slot);
  }

  #rise(member: Member, from: number): void {
    let slot = from;
    while (slot > 0) {
      const parentSlot = (slot - 1) >> 1;
      const parent = this.#heap[parentSlot] as Member;
      if (!before(member, parent)) break;
      this.#place(parent, slot);
      slot = parentSlot;
    }
    this.#place(member, slot);
  }

  #sink(member: Member, from: number): void {
    let slot = from;
    for (;;) {
      let childSlot = 2 * slot + 1;
      let child = this.#heap[childSlot];
      if (child === undefined) break;
      const right = this.#heap[childSlot + 1];
      if (right !== undefined && before(right, child)) {
        child = right;
        childSlot += 1;
      }
      if (!before(child, member)) break;
      this.#place(child, slot);
      slot = childSlot;
    }
    this.#place(member, slot);
  }

  #place(member: Member, slot: number): void {
    this.#heap[slot] = member;
    member.slot = slot;
  }
}

function before(left: Expiring, right: Expiring): boolean {
  if (left.expiresAt !== right.expiresAt) return left.expiresAt < right.expiresAt;
  return left.orderId < right.orderId;
}

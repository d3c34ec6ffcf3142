/**
 * Members by a time of theirs: a binary min-heap whose members know their slot, so that one that is settled
 * otherwise leaves at once instead of lingering until its time. The order is total (time, then order id): who is
 * first does not depend on how the heap came to be, only on what is in it.
 *
 * A member's time must not change while it is in the queue.
 */
export interface Queued {
  readonly orderId: string;
  /** Owned by the queue: the place in the heap, −1 outside. A member is in one queue at a time. */
  slot: number;
}

export class TimeQueue<Member extends Queued> {
  readonly #heap: Member[] = [];
  readonly #timeOf: (member: Member) => number;

  constructor(timeOf: (member: Member) => number) {
    this.#timeOf = timeOf;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** The member whose time comes first. */
  peek(): Member | undefined {
    return this.#heap[0];
  }

  /** In no order. */
  members(): readonly Member[] {
    return this.#heap;
  }

  add(member: Member): void {
    this.#heap.push(member);
    this.#rise(member, this.#heap.length - 1);
  }

  /** Nothing happens when it is not in this queue. */
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
      if (!this.#isBefore(member, parent)) break;
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
      if (right !== undefined && this.#isBefore(right, child)) {
        child = right;
        childSlot += 1;
      }
      if (!this.#isBefore(child, member)) break;
      this.#place(child, slot);
      slot = childSlot;
    }
    this.#place(member, slot);
  }

  #place(member: Member, slot: number): void {
    this.#heap[slot] = member;
    member.slot = slot;
  }

  #isBefore(left: Member, right: Member): boolean {
    const leftTime = this.#timeOf(left);
    const rightTime = this.#timeOf(right);
    if (leftTime !== rightTime) return leftTime < rightTime;
    return left.orderId < right.orderId;
  }
}

import { ByteWriter } from "@pushpin/tnetstrings";
import type { Packet } from "../core/packet.ts";
import { PART_MIN_BYTES, writePacket } from "../core/packet-encoder.ts";
import { TurnLoad } from "./turn-load.ts";

/** A frame goes out at 16 packets, 64 KB or the end of the event-loop turn; larger batches make packets travel in convoys. */
export const BATCH_PACKETS_MAX = 16;
export const BATCH_BYTES_MAX = 65_536;

export interface FrameBatchOptions {
  /** Stands in front of the letter: empty, or the topic of a PUB with its blank. */
  readonly address: string;
  /** `parts`: bodies, which go behind the frame, and must not be changed any more. */
  readonly send: (frame: Buffer, parts: readonly Uint8Array[]) => void;
  /** Whether the receiver takes large bodies as parts of their own. */
  readonly takesParts?: () => boolean;
  /** One more packet at the end of a frame. */
  readonly last?: () => Packet | undefined;
  /** A `T` frame for each packet, at once, as the original sends them. */
  readonly isSingle: boolean;
}

const NO_PARTS: readonly Uint8Array[] = [];

/** Packets for one receiver, collected into one `B` frame. */
export class FrameBatch {
  readonly #address: string;
  readonly #isSingle: boolean;
  readonly #writer = new ByteWriter();
  readonly #send: (frame: Buffer, parts: readonly Uint8Array[]) => void;
  readonly #takesParts: () => boolean;
  readonly #last: (() => Packet | undefined) | undefined;
  #count = 0;
  #parts: Uint8Array[] | undefined;
  #partBytes = 0;

  constructor(options: FrameBatchOptions) {
    this.#address = options.address;
    this.#last = options.last;
    this.#send = options.send;
    this.#takesParts = options.takesParts ?? takesNone;
    this.#isSingle = options.isSingle;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  add(packet: Packet): void {
    if (this.#isSingle) {
      this.#single(packet);
      const last = this.#last?.();
      if (last !== undefined) this.#single(last);
      return;
    }
    if (this.#count === 0) this.#writer.add(`${this.#address}B`);
    this.#write(packet);
    this.#count += 1;
    const bytes = this.#writer.length + this.#partBytes;
    if (this.#count >= BATCH_PACKETS_MAX || bytes >= BATCH_BYTES_MAX) this.flush();
  }

  #write(packet: Packet): void {
    const { body } = packet;
    // Limit: PART_MIN_BYTES
    if (body.length < PART_MIN_BYTES || !this.#takesParts()) {
      writePacket(this.#writer, packet);
      return;
    }
    this.#parts ??= [];
    const before = this.#parts.length;
    writePacket(this.#writer, packet, this.#parts);
    if (this.#parts.length > before) this.#partBytes += body.length;
  }

  flush(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    const last = this.#last?.();
    if (last !== undefined) writePacket(this.#writer, last);
    const parts = this.#parts ?? NO_PARTS;
    this.#parts = undefined;
    this.#partBytes = 0;
    this.#send(this.#writer.take(), parts);
  }

  #single(packet: Packet): void {
    this.#writer.add(`${this.#address}T`);
    writePacket(this.#writer, packet);
    this.#send(this.#writer.take(), NO_PARTS);
  }
}

const takesNone = (): boolean => false;

/**
 * The batches that have something to send; all are flushed at the end of the event-loop turn. While turns bring one packet each,
 * it does not wait for the end: whoever it is for can begin while this process still finishes the turn.
 */
export class FlushTurn {
  readonly #dirty: FrameBatch[] = [];
  readonly #load = new TurnLoad();

  add(batch: FrameBatch, packet: Packet): void {
    if (this.#load.isEmpty) setImmediate(this.#end);
    this.#load.add();
    if (batch.isEmpty) this.#dirty.push(batch);
    batch.add(packet);
    if (this.#load.isAlone) this.flush();
  }

  flush(): void {
    for (const batch of this.#dirty) batch.flush();
    this.#dirty.length = 0;
  }

  readonly #end = (): void => {
    this.#load.endTurn();
    this.flush();
  };
}

import { getAllHeaders } from "@pushpin/http";
import { toByteString } from "@pushpin/tnetstrings";
import type { ControlRequest, ControlResponse } from "./control-exchange.ts";

/**
 * Requests of the control port on their way from the thread that read them to the process's own, or answers
 * on their way back: everything of one turn, as one flat list of plain values. Handing over a list costs as much as
 * hundreds of values in it.
 */
export type ControlBatch = (string | number | readonly string[] | undefined)[];

const REQUEST_VALUES = 5;
const RESPONSE_VALUES = 5;

/** `number` is the thread's own, and comes back with the answer. */
export function addRequest(batch: ControlBatch, number: number, request: ControlRequest): void {
  const { method, target, headers, body } = request;
  // No other header has a say in the answer, and the thread knows the version.
  const accept = getAllHeaders(headers, "accept");
  batch.push(number, method, target, accept.length === 0 ? undefined : accept, toByteString(body));
}

export function readRequests(
  batch: ControlBatch,
  each: (number: number, request: ControlRequest) => void,
): void {
  for (let at = 0; at + REQUEST_VALUES <= batch.length; at += REQUEST_VALUES) {
    const accept = batch[at + 3] as readonly string[] | undefined;
    each(batch[at] as number, {
      method: batch[at + 1] as string,
      target: batch[at + 2] as string,
      minorVersion: 1,
      headers: accept === undefined ? [] : accept.flatMap((value) => ["Accept", value]),
      body: batch[at + 4] as string,
    });
  }
}

export function addResponse(batch: ControlBatch, number: number, response: ControlResponse): void {
  const { code, contentType, body, extraHeaders } = response;
  batch.push(number, code, contentType, body, extraHeaders);
}

export function readResponses(
  batch: ControlBatch,
  each: (number: number, response: ControlResponse) => void,
): void {
  for (let at = 0; at + RESPONSE_VALUES <= batch.length; at += RESPONSE_VALUES) {
    const extraHeaders = batch[at + 4] as readonly string[] | undefined;
    each(batch[at] as number, {
      code: batch[at + 1] as number,
      contentType: batch[at + 2] as string,
      body: batch[at + 3] as string,
      ...(extraHeaders === undefined ? {} : { extraHeaders }),
    });
  }
}

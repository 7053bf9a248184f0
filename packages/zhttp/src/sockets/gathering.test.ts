import { describe, expect, test } from "vitest";
import { Gathering, GATHERING_MAX_MS, PEERS_MAX_MS } from "./gathering.ts";

describe("given a process that starts, with two peers that may have clients for it", () => {
  const given = () => {
    const gathering = new Gathering();
    gathering.addPlaces(1);
    gathering.addPlaces(1);
    return gathering;
  };

  test("when the first has handed over everything and the other is not seen yet, then it waits for that", () => {
    const gathering = given();
    gathering.expect("connmgr-0-a");
    gathering.complete("connmgr-0-a");
    expect(gathering.isOver(10)).toBe(false);
    gathering.expect("proxy-0-a");
    expect(gathering.isOver(PEERS_MAX_MS + 1)).toBe(false);
    gathering.complete("proxy-0-a");
    expect(gathering.isOver(10)).toBe(true);
  });

  test("when one is not there, then it is waited for no longer than a while", () => {
    const gathering = given();
    gathering.complete("connmgr-0-a");
    expect(gathering.isOver(PEERS_MAX_MS)).toBe(false);
    expect(gathering.isOver(PEERS_MAX_MS + 1)).toBe(true);
  });

  test("when one goes away in the middle, then its successor is waited for", () => {
    const gathering = given();
    gathering.complete("connmgr-0-a");
    gathering.expect("proxy-0-a");
    gathering.gone("proxy-0-a");
    expect(gathering.isOver(10)).toBe(false);
    gathering.complete("proxy-0-b");
    expect(gathering.isOver(10)).toBe(true);
  });

  test("when one is replaced in the middle, then what is replaced is not waited for", () => {
    const gathering = given();
    gathering.complete("connmgr-0-a");
    gathering.expect("proxy-0-a");
    gathering.expect("proxy-0-b");
    gathering.complete("proxy-0-b");
    expect(gathering.isOver(10)).toBe(true);
  });

  test("when one does not come to an end, then it goes on without", () => {
    const gathering = given();
    gathering.expect("connmgr-0-a");
    expect(gathering.isOver(GATHERING_MAX_MS)).toBe(false);
    expect(gathering.isOver(GATHERING_MAX_MS + 1)).toBe(true);
  });
});

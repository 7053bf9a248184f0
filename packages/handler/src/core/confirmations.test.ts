import { describe, expect, test } from "vitest";
import { CONFIRM_MAX_MS, Confirmations } from "./confirmations.ts";

const A = "connmgr-0-a";
const B = "connmgr-1-a";

function make() {
  const confirmations = new Confirmations();
  const answered: string[] = [];
  return {
    confirmations,
    answered,
    publish(name: string, to: readonly string[], nowMs = 0) {
      confirmations.begin();
      for (const id of to) confirmations.sent("connmgr", id);
      confirmations.end([], () => answered.push(name), nowMs);
    },
    asked: () => confirmations.questions().map(({ to, number }) => `${to.id} ${number}`),
  };
}

describe("given publishers", () => {
  test("when nobody listens, then they are answered at once, and nobody is asked", () => {
    const { publish, answered, asked } = make();
    publish("one", []);
    expect(answered).toEqual(["one"]);
    expect(asked()).toEqual([]);
  });

  test("when several publish in a turn, then each process is asked once for all of it", () => {
    const { confirmations, publish, answered, asked } = make();
    publish("one", [A, A]);
    publish("two", [A, B]);
    expect(asked()).toEqual([`${A} 1`, `${B} 1`]);
    expect(asked()).toEqual([]);
    confirmations.confirmed("connmgr", A, 1);
    expect(answered).toEqual(["one"]);
    confirmations.confirmed("connmgr", B, 1);
    expect(answered).toEqual(["one", "two"]);
    expect(confirmations.size).toBe(0);
  });

  test("when some publish while a question is under way, then one more is asked for all of them, behind it", () => {
    const { confirmations, publish, answered, asked } = make();
    publish("one", [A]);
    asked();
    publish("two", [A]);
    expect(asked()).toEqual([]);
    publish("three", [A]);
    expect(confirmations.hasQuestions).toBe(true);
    confirmations.confirmed("connmgr", A, 1);
    expect(answered).toEqual(["one"]);
    expect(asked()).toEqual([`${A} 2`]);
    expect(confirmations.hasQuestions).toBe(false);
    confirmations.confirmed("connmgr", A, 2);
    expect(answered).toEqual(["one", "two", "three"]);
  });

  test("when items with ids are published while a question is under way, then nothing waits for its answer", () => {
    const { confirmations, publish, asked } = make();
    publish("one", [A]);
    asked();
    confirmations.begin();
    confirmations.sent("connmgr", A);
    confirmations.end(["1:ca"], () => {}, 0);
    expect(asked()).toEqual([`${A} 2`]);
  });

  test("when a process goes that has still to be asked, then it is not", () => {
    const { confirmations, publish, answered, asked } = make();
    publish("one", [A]);
    asked();
    publish("two", [A]);
    confirmations.gone(A);
    expect(answered).toEqual(["one", "two"]);
    expect(confirmations.hasQuestions).toBe(false);
    expect(asked()).toEqual([]);
  });

  test("when one publishes later, then an earlier confirmation is not enough for it", () => {
    const { confirmations, publish, answered, asked } = make();
    publish("one", [A]);
    asked();
    publish("two", [A]);
    confirmations.confirmed("connmgr", A, 1);
    expect(answered).toEqual(["one"]);
    expect(asked()).toEqual([`${A} 2`]);
    confirmations.confirmed("connmgr", A, 2);
    expect(answered).toEqual(["one", "two"]);
  });

  test("when a process does not confirm in time, then they are answered, and do not wait for it again until it does", () => {
    const { confirmations, publish, answered, asked } = make();
    publish("one", [A, B]);
    asked();
    confirmations.confirmed("connmgr", B, 1);
    confirmations.expire(CONFIRM_MAX_MS - 1);
    expect(answered).toEqual([]);
    confirmations.expire(CONFIRM_MAX_MS);
    expect(answered).toEqual(["one"]);
    publish("two", [A], CONFIRM_MAX_MS);
    expect(answered).toEqual(["one", "two"]);
    expect(asked()).toEqual([`${A} 2`]);
    confirmations.confirmed("connmgr", A, 2);
    publish("three", [A], CONFIRM_MAX_MS);
    expect(answered).toEqual(["one", "two"]);
  });

  test("when a process goes, then nobody waits for it", () => {
    const { confirmations, publish, answered } = make();
    publish("one", [A]);
    publish("two", [A, B]);
    confirmations.gone(A);
    expect(answered).toEqual(["one"]);
    confirmations.confirmed("connmgr", A, 1);
    confirmations.confirmed("connmgr", B, 1);
    expect(answered).toEqual(["one", "two"]);
  });

  test("when items have ids, then these go along, with the number of processes they went to", () => {
    const { confirmations } = make();
    for (const key of ["1:ca", "1:cb"]) {
      confirmations.begin();
      for (const id of [A, B]) confirmations.sent("connmgr", id);
      confirmations.end([key], () => {}, 0);
    }
    const ids = confirmations.questions().map((one) => one.ids);
    expect(ids).toEqual([
      ["2 1:ca", "2 1:cb"],
      ["2 1:ca", "2 1:cb"],
    ]);
  });

  test("when something is sent for other reasons, then nobody is asked", () => {
    const { confirmations, asked } = make();
    confirmations.sent("connmgr", A);
    expect(asked()).toEqual([]);
  });
});

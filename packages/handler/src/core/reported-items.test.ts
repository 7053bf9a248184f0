import { describe, expect, test } from "vitest";
import { encodeReport, ReportedItems } from "./reported-items.ts";

describe("given reports of what the handler before has published", () => {
  test("when all that an item went to have reported it, then it is complete", () => {
    const items = new ReportedItems();
    const [one, two] = [encodeReport("1:ca b", 1), encodeReport("1:c2", 2)];
    expect(items.add([one, two, two])).toEqual(["1:ca b"]);
    expect(items.add([two])).toEqual(["1:c2"]);
  });

  test("when a report is no report, then it is passed over", () => {
    expect(new ReportedItems().add(["", "x", "x y", "0 z", "-1 z", " z"])).toEqual([]);
  });
});

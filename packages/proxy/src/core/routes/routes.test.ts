import { describe, expect, test } from "vitest";
import { parseRouteLine } from "./route-line.ts";
import { RouteTable } from "./route-table.ts";

function table(...lines: string[]) {
  const problems: string[] = [];
  return {
    routes: RouteTable.parse(lines, ({ line, text }) => problems.push(`${line}${text}`)),
    problems,
  };
}
const target = (
  lines: string[],
  path: string,
  host = "h",
  proto: "http" | "ws" = "http",
  secure = false,
) => table(...lines).routes.find(proto, secure, host, path)?.targets[0]?.label;

describe("given a routes line", () => {
  test("proxy R1-R4: when it is parsed, then value and props are right", () => {
    const line = parseRouteLine('apple,organic,type=gala,from="washington, \\"usa\\""');
    expect(line).toMatchObject({
      ok: true,
      value: [
        {
          value: "apple",
          props: new Map([
            ["organic", [""]],
            ["type", ["gala"]],
            ["from", ['washington, "usa"']],
          ]),
        },
      ],
    });
    expect(parseRouteLine("  apple   banana  # comment")).toMatchObject({
      value: [{ value: "apple" }, { value: "banana" }],
    });
    expect(parseRouteLine(",organic")).toMatchObject({
      value: [{ value: "", props: new Map([["organic", [""]]]) }],
    });
    expect(parseRouteLine("type=gala")).toMatchObject({
      value: [{ value: "", props: new Map([["type", ["gala"]]]) }],
    });
  });

  test.each([
    ['apple,organic,type="gala', "unterminated quoted section"],
    ["apple,organic,", "expecting prop"],
    ["apple,organic,=gala", "empty prop name"],
    ['a "b\\', "unterminated escape sequence"],
    ['a "b\\x"', "unexpected escape character: x"],
  ])("proxy R5: when it is %j, then the error is %s", (line, error) => {
    expect(parseRouteLine(line)).toEqual({ ok: false, error });
  });

  test.each([
    ["tab\ttest", "1: must specify condition and at least one target"],
    ["a,proto=x test", "1: proto must be set to 'http' or 'ws'"],
    ["a zhttp/foo", "1: target bad format"],
    ["a h:0", "1: target invalid port"],
    ["a unix:", "1: target invalid port"],
    ["a unix:relative", "1: target invalid port"],
    ["a,header=x test", "1: header must use format 'name:value'"],
  ])("proxy R6, R30: when it is %j, then it is skipped with %s", (line, problem) => {
    expect(table(line).problems).toEqual([problem]);
  });

  test("when it says reconnect, then the route does, and no other", () => {
    const { routes } = table("a,reconnect h:1", "b h:1");
    const isSo = (host: string) => routes.find("ws", false, host, "/")?.reconnect;
    expect([isSo("a"), isSo("b")]).toEqual([true, false]);
  });

  test("when a target is the path of a socket, then that stands in the place of host and port", () => {
    const [route] = table("a unix:/run/app.sock,ssl b:1").routes.all();
    expect(route?.targets).toMatchObject([
      { label: "unix:/run/app.sock", kind: "backend", host: "/run/app.sock", port: 0, ssl: true },
      { host: "b", port: 1 },
    ]);
  });

  test("proxy R15: when a condition comes twice, then the first wins", () => {
    const { routes, problems } = table("dup a:1", "dup b:2");
    expect(problems).toEqual(["2 skipping duplicate condition"]);
    expect(routes.size).toBe(1);
  });
});

describe("given several rules", () => {
  test.each([
    ["R9", ["exact,path_beg=/a test", "* o:1"], "/y", "exact", undefined],
    ["R10", ["h,proto=http o:1", "h,path_beg=/long test"], "/long/", "h", "o:1"],
    ["R11", ["h,path_beg=/long test", "h,ssl=no o:1"], "/long", "h", "o:1"],
    ["R12", ["h,ssl=no o:1", "h,path_beg=/long test"], "/long", "h", "test"],
    ["R13", ["h,path_beg=/a test", "h,path_beg=/abc o:1"], "/abcd", "h", "o:1"],
    ["R14", ["h,ssl=yes test", "h,proto=ws test"], "/", "h", undefined],
    ["R8", ["UPPER test", "* o:1"], "/", "upper", "test"],
    ["R7", ['q"uot"ed test'], "/", "quoted", "test"],
    ["R31", ["* [::1]:80"], "/", "x", "[::1]:80"],
  ] as const)(
    "proxy %s: when %j is asked for %s at %s, then the target is %s",
    (_, lines, path, host, expected) => {
      expect(target([...lines], path, host)).toBe(expected);
    },
  );

  test("proxy R16, R17: when ids are given, then a shared one is known as such", () => {
    const { routes } = table("i1,id=same test", "i2,id=same test", ",id=only o:1");
    expect(routes.byId("same")).toBe("shared");
    expect(routes.byId("only")).toMatchObject({ id: "only", hasExplicitId: true });
    expect(routes.byId("nosuch")).toBeUndefined();
  });
});

import { RouteTable } from "@pushpin/proxy";
import { measure, measureOnce } from "./measure.mjs";

const COUNT = 10_000;
const tables = [
  ["one route", ["* localhost:80"], "host", "/some/path"],
  [
    `${COUNT} hosts`,
    Array.from({ length: COUNT }, (_, i) => `host-${i}.example.com localhost:80`),
    `host-${COUNT / 2}.example.com`,
    "/some/path",
  ],
  [
    `${COUNT} paths of one host`,
    Array.from({ length: COUNT }, (_, i) => `host,path_beg=/api/${i}/ localhost:80 localhost:81`),
    "host",
    `/api/${COUNT / 2}/more`,
  ],
  [
    `${COUNT} paths of any host`,
    Array.from({ length: COUNT }, (_, i) => `*,path_beg=/${"x".repeat(i % 50)}${i} localhost:80`),
    "host",
    `/${"x".repeat(20)}4020`,
  ],
];
for (const [name, lines, host, path] of tables) {
  let table;
  measureOnce(`load: ${name}`, () => {
    table = RouteTable.parse(lines, ({ text }) => {
      throw new Error(text);
    });
  });
  if (table.find("http", false, host, path) === undefined) throw new Error("not found");
  measure(`find: ${name}`, () => table.find("http", false, host, path));
}

export { RouteTable } from "./core/routes/route-table.ts";

export { type Clock, ManualClock, systemClock, type Timer } from "./clock.ts";
export { TimerWheel, type WheelEntry, type WheelNode } from "./timer-wheel.ts";

export { type Clock, ManualClock, systemClock, type Timer } from "./clock.ts";
export { TickPace } from "./tick-pace.ts";
export { TimerWheel, type WheelEntry, type WheelNode } from "./timer-wheel.ts";

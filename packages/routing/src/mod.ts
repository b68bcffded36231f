/** Where a key lives: hash slots and hash tags, as Redis Cluster defines them. Pure. */
export { crc16, keySlot, type Slot, slot, slotCount } from "./slot.ts";

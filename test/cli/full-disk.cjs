/** Loaded before the command: its disk takes DISK_BYTES bytes and is full then. Threads count for themselves. */
const fs = require("node:fs");

const write = fs.writeSync;
let left = Number(process.env.DISK_BYTES);
fs.writeSync = (file, data, ...rest) => {
  left -= data.length;
  if (left < 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  return write(file, data, ...rest);
};

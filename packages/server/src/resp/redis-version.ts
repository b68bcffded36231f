/** The Redis whose commands, replies and error texts we follow; tests compare with exactly this one. */
export const compatibleRedisVersion = "7.0.15";

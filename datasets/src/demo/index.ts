export { demoFiles, drawDemo } from './demo.ts'
export type { DemoOptions } from './demo.ts'
export { smokeSizes } from './demo-file.ts'
export type { DemoFile, DemoSizes } from './demo-file.ts'

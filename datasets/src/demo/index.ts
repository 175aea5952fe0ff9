export { demoFiles, drawDemo } from './demo.ts'

export * from './mtcnn/index.ts'
export * from './picture-work.ts'
export * from './quality.ts'
export * from './face-finder.ts'

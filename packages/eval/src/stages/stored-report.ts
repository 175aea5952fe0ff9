import { FormatError } from '@deepfever/core'
import { judgements, openArtifact, type Artifact, type Judgement } from '@deepfever/formats'
import type { Report } from '../report.ts'

/**
 * Reads report.json of a report artifact.
 *
 * @throws FormatError when it is of another version
 */
export async function readReport(path: string): Promise<{ report: Report; artifact: Artifact }> {
  const artifact = await openArtifact(path, 'report')
  const report = JSON.parse(Buffer.from(await artifact.file('report.json')).toString()) as Report
  if (report.report === 2) return { report, artifact }
  throw new FormatError(
    `${path}: report version ${String(report.report)}, wanted 2; run the evaluation again`,
    { path, found: report.report, wanted: 2 },
  )
}

/** The judgements of a report, in order. */
export async function readJudgements(artifact: Artifact): Promise<Judgement[]> {
  const rows: Judgement[] = []
  for await (const row of artifact.rows(judgements)) rows.push(row)
  return rows
}

const MARK: unique symbol = Symbol('html')

/** Markup that is safe to send: literal parts of a template, everything else escaped. */
export interface Html {
  readonly [MARK]: true
  toString(): string
}

/** What may stand in a template: text is escaped, lists are joined, null and false vanish. */
export type HtmlValue = Html | string | number | null | false | undefined | readonly HtmlValue[]

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const mark = (text: string): Html => ({ [MARK]: true, toString: () => text })

function toMarkup(value: HtmlValue): string {
  if (value === null || value === undefined || value === false) return ''
  if (typeof value === 'string') return value.replace(/[&<>"']/g, sign => entities[sign]!)
  if (typeof value === 'number') return String(value)
  return MARK in value ? value.toString() : value.map(toMarkup).join('')
}

/**
 * Template tag for HTML: inserted values are escaped for text and for quoted attributes, so a file
 * named `<img onerror=…>` appears as its name. Not for inserting into scripts, styles or URLs.
 */
export const html = (literal: TemplateStringsArray, ...values: readonly HtmlValue[]): Html =>
  mark(literal.reduce((text, part, i) => text + toMarkup(values[i - 1]) + part))

/** Markup of the program's own, such as a style sheet; never text from a file. */
export const trustedHtml = (markup: string): Html => mark(markup)

import { join } from 'node:path'
import ts from 'typescript'
import { repositoryRoot } from '../faults.ts'

/** A top-level declaration; of a variable, the whole statement. */
function statementOf(node: ts.Node): ts.Node | undefined {
  let at = node
  while (at.parent && !ts.isSourceFile(at.parent)) at = at.parent
  return at.parent ? at : undefined
}

/** Calls `visit` with every name in a declaration that its type depends on. */
function eachName(node: ts.Node, visit: (name: ts.Identifier) => void): void {
  if (ts.isIdentifier(node)) return visit(node)
  ts.forEachChild(node, child => {
    const isValue = ts.isBlock(child) || (ts.isExpression(child) && !ts.isIdentifier(child))
    const isInitial = 'initializer' in node && node.initializer === child && !ts.isTypeNode(child)
    // What a class extends is an expression, and part of its type.
    if (!isInitial && (!isValue || ts.isExpressionWithTypeArguments(child))) eachName(child, visit)
  })
}

/**
 * What `entry` exports, and every declaration that these name, as the text of one d.ts file without
 * imports. Exports need written types.
 *
 * @throws Error for two of one name, a type of another package, or a type that is not written
 */
export function rollDeclarations(entry: string): string {
  const place = join(repositoryRoot, 'tsconfig.json')
  const config = ts.getParsedCommandLineOfConfigFile(
    place,
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: found => {
        throw new Error(ts.flattenDiagnosticMessageText(found.messageText, '\n'))
      },
    },
  )!
  const options: ts.CompilerOptions = { ...config.options, noEmit: false, declaration: true }
  const program = ts.createProgram([entry], options)
  const checker = program.getTypeChecker()
  const emitted = new Map<string, ts.SourceFile>()
  const declared = (file: ts.SourceFile): ts.SourceFile => {
    const known = emitted.get(file.fileName)
    if (known) return known
    const { outputText, diagnostics = [] } = ts.transpileDeclaration(file.text, {
      fileName: file.fileName,
      compilerOptions: options,
      reportDiagnostics: true,
    })
    for (const { messageText } of diagnostics)
      throw new Error(`${file.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
    const fresh = ts.createSourceFile('x.d.ts', outputText, ts.ScriptTarget.Latest, true)
    emitted.set(file.fileName, fresh)
    return fresh
  }

  const taken = new Map<string, ts.Symbol>()
  const texts: string[] = []
  const take = (given: ts.Symbol): void => {
    const symbol = given.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(given) : given
    for (const declaration of symbol.declarations ?? []) {
      const file = declaration.getSourceFile()
      const statement = statementOf(declaration)
      const isOwn =
        statement === declaration || (statement !== undefined && ts.isVariableStatement(statement))
      if (!statement || !isOwn || program.isSourceFileDefaultLibrary(file)) continue
      const isAmbient = /node_modules\/@types\/node\//.test(file.fileName)
      if (isAmbient) continue
      if (file.fileName.includes('/node_modules/'))
        throw new Error(`${symbol.name} is declared in ${file.fileName}, a package of others`)
      const before = taken.get(symbol.name)
      if (before === symbol) return
      if (before) throw new Error(`two declarations named ${symbol.name}; rename one`)
      taken.set(symbol.name, symbol)
      texts.push(textOf(declared(file), symbol.name))
      eachName(statement, name => {
        const found = checker.getSymbolAtLocation(name)
        if (found && found !== symbol) take(found)
      })
    }
  }
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!
  const exported = checker.getExportsOfModule(module)
  exported.forEach(take)
  const names = exported.map(({ name }) => name).sort()
  return `${texts.join('\n')}\nexport { ${names.join(', ')} }\n`
}

/** The declaration of `name` with its docstring, not exported. */
function textOf(file: ts.SourceFile, name: string): string {
  const statements = file.statements.filter(statement =>
    ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.some(one => one.name.getText() === name)
      : (statement as ts.DeclarationStatement).name?.getText() === name,
  )
  return statements
    .map(statement => {
      const doc = ts.getLeadingCommentRanges(file.text, statement.getFullStart())?.at(-1)
      const text = statement.getText().replace(/^export /, '')
      return `${doc ? `${file.text.slice(doc.pos, doc.end)}\n` : ''}${text}\n`
    })
    .join('')
}

/** Every exported declaration of a package starts with a docstring (a block that opens with `/**`). */
export const docstring = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: {
      missing: 'export {{ name }} has no docstring: 1-6 lines on what it is, units, errors',
    },
  },
  create(context) {
    const source = context.sourceCode
    const isDoc = comment => comment.type === 'Block' && comment.value.startsWith('*')
    return {
      ExportNamedDeclaration(node) {
        const { declaration } = node
        if (!declaration || source.getCommentsBefore(node).some(isDoc)) return
        // The implementation of an overloaded function: its first signature carries the docstring.
        const body = node.parent.body
        const before = body[body.indexOf(node) - 1]
        if (before?.declaration?.type === 'TSDeclareFunction') return
        const named = declaration.declarations?.[0] ?? declaration
        context.report({
          node,
          messageId: 'missing',
          data: { name: named.id?.name ?? 'declaration' },
        })
      },
    }
  },
}

# {% include "tasks/" ~ cookiecutter.task ~ "/plots.py" %}
